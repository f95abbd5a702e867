"""Everything that reads what others wrote: any bytes give a value or the one documented error."""
