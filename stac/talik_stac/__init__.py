"""The hub of Talik: every type and file format that crosses a process."""
