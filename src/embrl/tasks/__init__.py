"""Tasks as vectors: features of states that hold for every reward, learned from transitions."""
