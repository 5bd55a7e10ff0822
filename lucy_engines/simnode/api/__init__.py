"""What a simulated daemon answers: GraphQL over HTTP."""
