"""Results of steps: what they depend on, where they are kept, how they are restored.

An entry is signed with the project's key, and restores only files of its own step.
"""
