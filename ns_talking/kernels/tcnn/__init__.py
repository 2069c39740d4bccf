"""Operations through tiny-cuda-nn, where somebody has installed it; parameters stay in this package's own layout."""
