"""SeqIO registrations that ship with mtmoe; imported by name, never on import."""
