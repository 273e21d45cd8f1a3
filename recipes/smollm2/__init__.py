"""Makes a tandem drafter for SmolLM2-135M-Instruct from nothing but that model."""
