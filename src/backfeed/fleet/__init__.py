"""Who is here and what can they do: sites, chargers, owners, sessions, live state."""
