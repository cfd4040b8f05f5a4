"""What a trained model shows of itself: each takes what ``pretrained.load`` returns, or a ``minibert.Bert``."""
