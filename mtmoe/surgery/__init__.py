"""Operations on the weights of models that are trained already."""
