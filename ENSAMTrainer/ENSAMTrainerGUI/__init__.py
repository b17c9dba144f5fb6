"""The panel of ENSAM Trainer.

It shows what the logic says and passes on what the user does; it decides nothing.
"""
