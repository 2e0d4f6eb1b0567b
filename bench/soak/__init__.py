"""Whether anything grows that ought not to, under a load that lasts."""
