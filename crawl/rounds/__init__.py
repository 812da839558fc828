"""One crawl after another: searches, the merge of their candidates, and the reports of use."""
