"""The paper's measures of a pair on a text, through any executor."""
