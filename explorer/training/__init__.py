"""Training of (IA)³ adapters with trl and peft."""
