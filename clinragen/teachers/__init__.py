"""Teachers that write the rationales R_m and R_t (paper, section 3.2), and what they share."""
