"""From an integer model to hardware: golden vectors, testbenches, co-simulation, proofs and synthesis."""
