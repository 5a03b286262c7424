"""Language models that write for us: a server or a model in process, asked at scale, every answer kept."""
