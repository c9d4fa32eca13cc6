def summary() -> None:
    """x"""
