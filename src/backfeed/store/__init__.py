"""What must survive: event log, series, ledger."""
