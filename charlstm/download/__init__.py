"""Downloading texts: known corpora and URLs, resumed, checked and unpacked."""
