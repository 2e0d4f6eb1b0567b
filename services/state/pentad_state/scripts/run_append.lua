-- Adds events to the journal of a run that goes on, and changes nothing else: most appends do.
return obstacle() or record(now(), false)
