# Delta method of MASS (dose.p) and car (deltaMethod). Run from the root of the repository:
#   Rscript tests/reference/make_delta.R

suppressPackageStartupMessages({library(MASS); library(car); library(jsonlite)})
tight <- glm.control(epsilon = 1e-14, maxit = 100)
budworm <- data.frame(dose = rep(0:5, 2), sex = rep(c("M", "F"), each = 6),
                      dead = c(1, 4, 9, 13, 18, 20, 0, 2, 6, 10, 12, 16))
budworm$alive <- 20 - budworm$dead
doses <- function(link) {
  fit <- glm(cbind(dead, alive) ~ dose + sex, binomial(link), budworm, control = tight)
  found <- dose.p(fit, cf = 1:2, p = c(0.25, 0.5, 0.75))
  list(link = link, p = c(0.25, 0.5, 0.75), estimate = as.numeric(found), std_error = as.numeric(attr(found, "SE")))
}
wage <- read.csv("tests/reference/shared/data/wage1.csv")
fit <- glm(wage ~ exper + I(exper^2), Gamma("log"), wage, control = tight)
names <- c("a", "b1", "b2")
peak <- deltaMethod(fit, "-b1 / (2 * b2)", parameterNames = names)
level <- deltaMethod(fit, "exp(a - b1^2 / (4 * b2))", parameterNames = names)
write_json(list(r_version = R.version.string, budworm = budworm, doses = list(doses("logit"), doses("probit")),
                wage = list(peak = c(peak$Estimate, peak$SE), level = c(level$Estimate, level$SE))),
           "tests/reference/inference/delta/cases.json", digits = NA, auto_unbox = TRUE, pretty = TRUE, dataframe = "columns")
