"""How text becomes a batch, room by room; each imports only those before it.

ground · sources · vocabulary · objectives · metrics · tasks · token_cache · rows ·
evaluation · mixing · schedule · batches
"""
