"""What a user does with the mouse in Slicer's views, and what they see there."""
