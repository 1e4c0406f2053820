"""The character model of the command line: text in, a trained recurrent net and samples out."""
