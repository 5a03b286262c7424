"""The baselines that a model must beat: gradient boosting, logistic regression and the prevalence guess.

None sees a test label: all are fitted on the training split, and everything that is chosen (regularisation, number of
trees, decision thresholds) is chosen on the validation split.
"""
