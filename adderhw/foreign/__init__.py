"""Networks that other tools wrote: their operations, and their integers where these are determined."""
