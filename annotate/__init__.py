"""Images become five-sentence annotations, by a served vision-language model."""
