"""Who owes whom: accounts, transfers, waterfall, statements."""
