# Remake the reference cases. Run from the root of the repository, after `python tests/reference/make_employees.py`:
#   Rscript tests/reference/make_cases.R

for (part in c("figures", "simulate", "cases_glm", "cases_separation", "cases_more")) source(file.path("tests/reference/r", paste0(part, ".R")))
