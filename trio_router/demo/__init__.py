"""A demo without a GPU: replicas that speak FastVideo's protocol with real H.264, a viewer, a page, and all
of it at once.

Nothing in here is imported by the router itself. The video needs PyAV and Pillow (`pip install
'trio-router[demo]'`); a replica that is given another `make_segment` needs neither.
"""
