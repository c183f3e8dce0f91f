# Every family and link, aliased designs, weights, proportions, formulas, the employees.

small <- read_data("data/small.csv")
odd <- read_data("data/odd.csv")
small_case <- function(...) case(..., data = small, file = "data/small.csv")
odd_case <- function(...) case(..., data = odd, file = "data/odd.csv")
terms <- "x1 + x2 + x3 + f"

# ---- every family with every link that R accepts ----------------------------------------------------------------------

grid <- list(
  binomial = c("logit", "probit", "cloglog", "cauchit", "identity", "log", "loglog"),
  poisson = c("log", "identity", "sqrt"),
  gaussian = c("identity", "log", "inverse"),
  Gamma = c("log", "identity", "inverse"),
  inverse.gaussian = c("log", "identity", "inverse", "1/mu^2"))
response_of <- c(binomial = "yes", poisson = "count", gaussian = "level", Gamma = "cost", inverse.gaussian = "time")

for (family in names(grid)) for (link in grid[[family]]) {
  response <- response_of[[family]]
  if (family == "binomial" && link == "identity") response <- "cbind(right, wrong)"
  if (family == "binomial" && link == "log") response <- "yes_low"
  centre <- if (link == "identity" && family == "binomial") 0.5 else mean(small[[response]])
  start <- if (link %in% c("log", "identity", "inverse", "1/mu^2", "sqrt")) c(fam(family, link)$linkfun(centre), rep(0, 5))
  name <- if (link == "1/mu^2") "inverse_squared" else link
  small_case(
    id = paste0("link_", tolower(sub("inverse.gaussian", "invgauss", family)), "_", name),
    title = paste(family, "with link", link), tests = c(family, link), formula = paste(response, "~", terms), py = terms,
    family = fam(family, link), start = start,
    notes = if (link == "loglog") "R has no loglog link: eta = -log(-log(mu)) was given to binomial() as a link object" else NULL)
}

# ---- aliased columns --------------------------------------------------------------------------------------------------

odd_case(id = "alias_last", title = "A column that is a combination of two earlier ones", tests = "aliased",
         formula = "level ~ x1 + x2 + sum12 + f", py = "x1 + x2 + sum12 + f", family = fam("gaussian", "identity"), rows_together = TRUE)
odd_case(id = "alias_middle", title = "The combination comes first, so a later column is aliased", tests = "aliased",
         formula = "cost ~ sum12 + x1 + x2 + f", py = "sum12 + x1 + x2 + f", family = fam("Gamma", "log"), rows_together = TRUE)
odd_case(id = "alias_empty_cell", title = "A combination of two factors that does not occur", tests = c("aliased", "factor x factor"),
         formula = "count ~ x1 + f * h", py = "x1 + f * h", family = fam("poisson", "log"), rows_together = TRUE)
odd_case(id = "alias_constant", title = "A constant column besides the intercept", tests = "aliased",
         formula = "yes ~ three + x1 + x2", py = "three + x1 + x2", family = fam("binomial", "logit"), rows_together = TRUE)
odd_case(id = "alias_two", title = "Two aliased columns at once, one of them in an interaction", tests = "aliased",
         formula = "level ~ x1 + x2 + sum12 + f * h", py = "x1 + x2 + sum12 + f * h", family = fam("gaussian", "identity"),
         rows_together = TRUE)

# ---- weights ----------------------------------------------------------------------------------------------------------

var_note <- paste("Rows with weight 0 were dropped before the fit; `rows` gives the (zero-based) data rows of the row figures.",
                  "Pearson and deviance residuals contain the root of the weight.")
extra <- list(
  gaussian = "R's loglik: variance dispersion / weight, dispersion = deviance / n.",
  poisson = "R's loglik: the sum of weight times log density.",
  binomial = "R's loglik: the sum of weight times log density of the counts.",
  Gamma = paste("R's loglik counts the weights like frequencies (weight times log density, dispersion = deviance / sum of weights);",
                "`loglik_dispersion_over_weight` takes dispersion / weight for each row, with dispersion = deviance / n."),
  inverse.gaussian = paste("R's loglik counts the weights like frequencies (dispersion = deviance / sum of weights);",
                           "`loglik_dispersion_over_weight` takes dispersion / weight for each row, with dispersion = deviance / n."))

honest_loglik <- function(expect, fit) {
  phi <- fit$deviance / length(fit$y) / fit$prior.weights
  expect$loglik_dispersion_over_weight <- switch(
    fit$family$family,
    Gamma = sum(dgamma(fit$y, 1 / phi, scale = fit$fitted.values * phi, log = TRUE)),
    inverse.gaussian = sum(dinvgauss(fit$y, fit$fitted.values, dispersion = phi, log = TRUE)),
    NULL)
  expect
}

for (family in names(extra)) {
  link <- c(gaussian = "identity", poisson = "log", binomial = "logit", Gamma = "log", inverse.gaussian = "log")[[family]]
  left <- if (family == "binomial") "cbind(success, failure)" else response_of[[family]]
  name <- tolower(sub("inverse.gaussian", "invgauss", family))
  small_case(id = paste0("varweights_", name), title = paste(family, "with prior weights, some of them 0"),
             tests = c(family, "var_weights", "zero weights"), formula = paste(left, "~", terms), py = terms, family = fam(family, link),
             weights = "w", meaning = "var_weights", notes = paste(var_note, extra[[family]]), change = honest_loglik)
  small_case(id = paste0("freqweights_", name), title = paste(family, "with frequency weights, some of them 0"),
             tests = c(family, "freq_weights", "zero weights"), formula = paste(left, "~", terms), py = terms, family = fam(family, link),
             weights = "k", meaning = "freq_weights",
             notes = paste("The fit to the data with row i repeated k[i] times (0: left out). Row figures are of one copy;",
                           "`rows` gives the (zero-based) data rows they belong to."))
}

small_case(id = "varweights_bernoulli", title = "0/1 response with prior weights that are not whole numbers",
           tests = c("binomial", "var_weights"), formula = paste("yes ~", terms), py = terms, family = fam("binomial", "logit"),
           weights = "w", meaning = "var_weights",
           notes = paste(var_note, "loglik is the sum of weight times log density; R's own logLik rounds the weights to whole numbers."),
           change = function(expect, fit) {
             mu <- fit$fitted.values
             expect$loglik <- sum(fit$prior.weights * ifelse(fit$y == 1, log(mu), log1p(-mu)))
             expect$aic <- -2 * expect$loglik + 2 * fit$rank
             expect$bic <- -2 * expect$loglik + log(length(mu)) * fit$rank
             expect
           })

# ---- proportions ------------------------------------------------------------------------------------------------------

fractional <- fam("binomial", "logit")
fractional$reference$likelihood <- FALSE
small_case(id = "fractional_logit", title = "Fractions between 0 and 1 without trials, logit", tests = c("binomial", "fractions"),
           formula = paste("fraction ~", terms), py = terms, family = fractional,
           notes = paste("Quasi-likelihood with dispersion 1; use robust_se for inference. loglik is null: the binomial has no density here.",
                         "quasi_loglik is the sum of y log(mu) + (1 - y) log(1 - mu)."),
           change = function(expect, fit) {
             expect$quasi_loglik <- sum(fit$y * log(fit$fitted.values) + (1 - fit$y) * log1p(-fit$fitted.values))
             expect
           })
for (link in c("logit", "probit"))
  small_case(id = paste0("proportion_trials_", link), title = paste("Proportions with their numbers of trials,", link),
             tests = c("binomial", "trials"), formula = paste("share ~", terms), py = terms, family = fam("binomial", link), trials = "trials")
small_case(id = "counts_cauchit", title = "Success and failure counts, cauchit", tests = c("binomial", "counts", "cauchit"),
           formula = paste("cbind(success, failure) ~", terms), py = terms, family = fam("binomial", "cauchit"))

# ---- formulas ---------------------------------------------------------------------------------------------------------

normal <- fam("gaussian", "identity")
counts <- fam("poisson", "log")
binary <- fam("binomial", "logit")

small_case(id = "formula_sum", title = "Sum contrasts", tests = "contr.sum", formula = "level ~ x1 + C(f, contr.sum)",
           py = "x1 + C(f, Sum)", family = normal)
small_case(id = "formula_reference", title = "Treatment contrasts, reference level b", tests = "contr.treatment",
           formula = "count ~ x1 + relevel(f, ref = \"b\")", py = "x1 + C(f, Treatment(\"b\"))", family = counts)
small_case(id = "formula_factors", title = "Factor by factor", tests = "interaction", formula = "yes ~ x1 + f * g",
           py = "x1 + f * g", family = binary)
small_case(id = "formula_slopes", title = "Factor by number", tests = "interaction", formula = "cost ~ f * x1 + x2",
           py = "f * x1 + x2", family = fam("Gamma", "log"))
small_case(id = "formula_numbers", title = "Number by number", tests = "interaction", formula = "level ~ x1 * x2 + x3",
           py = "x1 * x2 + x3", family = normal)
small_case(id = "formula_no_intercept", title = "No intercept: a factor keeps all its levels", tests = "no intercept",
           formula = "count ~ 0 + f + x1", py = "0 + f + x1", family = counts)
small_case(id = "formula_no_intercept_numbers", title = "No intercept, numbers only", tests = "no intercept",
           formula = "level ~ 0 + x1 + x2 + x3", py = "0 + x1 + x2 + x3", family = normal)
small_case(id = "formula_square", title = "A square", tests = "I()", formula = "level ~ x1 + x3 + I(x3^2)",
           py = "x1 + x3 + I(x3^2)", family = normal)
small_case(id = "formula_log", title = "A logarithm", tests = "log()", formula = "cost ~ log(x2) + f", py = "log(x2) + f",
           family = fam("Gamma", "log"))
small_case(id = "formula_poly", title = "Orthogonal polynomial", tests = "poly", formula = "count ~ poly(x2, 3) + f",
           py = "poly(x2, 3) + f", family = counts)
small_case(id = "formula_bs", title = "B-splines", tests = "bs", formula = "level ~ bs(x2, df = 5) + x1",
           py = "bs(x2, df=5) + x1", family = normal)
small_case(id = "formula_scale", title = "Standardized columns", tests = "scale", formula = "yes ~ scale(x2) + scale(x3) + f",
           py = "scale(x2) + scale(x3) + f", family = binary)
small_case(id = "formula_offset_column", title = "Poisson rate: the offset is a column", tests = "offset",
           formula = "events ~ x1 + x2 + f", py = "x1 + x2 + f", family = counts, offset = "log_expo")
small_case(id = "formula_offset_term", title = "Poisson rate: the offset is in the formula", tests = "offset",
           formula = "events ~ x1 + x2 + f + offset(log(expo))", py = "x1 + x2 + f + offset(log(expo))", family = counts,
           notes = "Linear predictor, fitted values and predictions contain the offset.")
small_case(id = "formula_offset_no_intercept", title = "Offset without intercept", tests = c("offset", "no intercept"),
           formula = "events ~ 0 + f + x1", py = "0 + f + x1", family = counts, offset = "log_expo",
           notes = "null_deviance is that of the offset alone, as in R")
small_case(id = "formula_offset_gaussian", title = "Offset in a Gaussian model", tests = "offset", formula = "level ~ x1 + f",
           py = "x1 + f", family = normal, offset = "x2")
small_case(id = "formula_intercept_only", title = "Intercept only", tests = "intercept only", formula = "count ~ 1", py = "1",
           family = counts)

# ---- employees --------------------------------------------------------------------------------------------------------

employees <- read_data("data/employees.csv")
other <- jsonlite::fromJSON(file.path(dirname(root), "statsmodels", "employees.json"))
with_statsmodels <- function(name) function(expect, fit) {
  them <- other[[name]]
  stopifnot(max(abs(them$params / coef(fit) - 1)) < 1e-8)
  expect$statsmodels <- list(version = other$version, params = I(them$params), bse = I(them$bse), llf = them$llf, deviance = them$deviance)
  expect
}
employee_case <- function(..., title) case(..., data = employees, file = "data/employees.csv", title = title,
                                           source = "simulated, make_employees.py")
employee_case(id = "employees_left", title = "Who left: logistic regression", tests = c("binomial", "columns of very different scale"),
              formula = "left ~ salary + experience_years + overtime_hours", py = "salary + experience_years + overtime_hours",
              family = binary, change = with_statsmodels("left"))
employee_case(id = "employees_sick_days", title = "Sick days: Poisson regression", tests = c("poisson", "columns of very different scale"),
              formula = "sick_days ~ salary + overtime_hours", py = "salary + overtime_hours", family = counts,
              change = with_statsmodels("sick_days"))
employee_case(id = "employees_left_gaussian", title = "Who left, with the wrong family", tests = "gaussian",
              formula = "left ~ salary + experience_years + overtime_hours", py = "salary + experience_years + overtime_hours", family = normal)
employee_case(id = "employees_sick_days_gaussian", title = "Sick days, with the wrong family", tests = "gaussian",
              formula = "sick_days ~ salary + overtime_hours", py = "salary + overtime_hours", family = normal)
