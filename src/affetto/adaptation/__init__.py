"""A trained model made to fit one's own recordings: its last layer refitted on a few labelled clips.

head        a linear layer fitted near the one that was there
validation  how well that does on clips that it has not seen: nested cross-validation
efficiency  how much the clips have brought, and how much more would bring
adapted     the new checkpoint, with its card
"""
