"""The five published datasets of the paper's evaluation, read as their authors publish them."""
