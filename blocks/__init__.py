"""WITH WHAT: one room a connection, one interface, several implementations; decides nothing about a lifecycle."""
