"""Language models on a server or in this process: many requests, retried after failures, every answer kept."""
