"""HTTP: the receiver, the API and the pages. Thin: translates and calls one function of flow."""
