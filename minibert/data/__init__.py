"""From texts to ids by document, and the files of labelled examples as they come."""
