"""The processes of an agent: workers, who supervises them and what they tell each other."""
