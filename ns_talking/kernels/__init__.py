"""Operations on grids and rays: one documented definition each, and faster twins that must equal it."""
