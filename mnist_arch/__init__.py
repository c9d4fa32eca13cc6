"""Very small neural networks under hard budgets, with claims that hold up."""
