"""A day of sessions in virtual time: which rule refuses fewest, lets people wait least, and spreads the work.

`python -m bench balance` draws arrivals, session lengths and failures once, and runs the same day through each policy of
the router, with its real registry and wait queue, and through the rule of the seed's router. No sockets, no clock.

    workload    what happens in a day, drawn at random
    world       what the replicas really are, as opposed to what the router knows
    routers     who decides: our core with a policy, or the seed's rule
    day         the event loop
    figures     what is counted
    report      a table, a JSON and a plot
"""
