"""The panel that the module and the Segment Editor effect share.

It shows what the logic says and passes on what the user does; it decides nothing.
"""
