"""Networks that other tools wrote: their operations by shape inference, and their integers where these are determined."""
