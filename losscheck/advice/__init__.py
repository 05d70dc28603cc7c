"""From measurements to advice: which implementation harms training, ranked; why; and what to write instead."""
