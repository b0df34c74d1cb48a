"""The Open Inference Protocol over HTTP: parsing, checking and answering."""
