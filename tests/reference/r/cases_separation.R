# Maximum likelihood estimates that lie at infinity: only what has a limit is written down.

# `kept`: rows that are not fitted exactly in the limit. `merged`: columns left out of the limit model, because among these rows they are 0
# or repeat other columns. `diverges`: the coefficients at infinity, with their sign (NA: the direction is not unique).
separated_case <- function(id, title, kind, formula, py, family, kept, merged, diverges, tests) {
  formula <- as.formula(formula, env = globalenv())
  frame <- odd
  heard <- character()
  at_end <- withCallingHandlers(
    eval(as.call(list(quote(glm), formula = formula, family = family, data = quote(frame), control = glm.control(1e-14, 60)))),
    warning = function(w) {
      heard <<- c(heard, conditionMessage(w))
      invokeRestart("muffleWarning")
    })
  x <- model.matrix(at_end)
  y <- at_end$y
  deviance <- loglik <- 0
  coef <- se <- setNames(rep(NA_real_, ncol(x)), colnames(x))
  fitted <- y
  if (any(kept)) {
    inner <- list(y = y[kept], x = x[kept, setdiff(colnames(x), merged), drop = FALSE])
    limit <- polish(glm(y ~ 0 + x, family = family, data = inner))
    stopifnot(limit$rank == ncol(inner$x))
    deviance <- limit$deviance
    loglik <- as.numeric(logLik(limit))
    finite <- setdiff(colnames(inner$x), names(diverges))
    coef[finite] <- coef(limit)[paste0("x", finite)]
    se[finite] <- summary(limit)$coefficients[paste0("x", finite), 2]
    fitted[kept] <- limit$fitted.values
    dump_design(id, limit)
  }
  if (family$family == "poisson") stopifnot(all(y[!kept] == 0))
  if (abs(at_end$deviance - deviance) > 1e-6) stop(id, ": glm() ends at deviance ", at_end$deviance, ", not at ", deviance)
  sign <- rep(NA_character_, ncol(x))
  sign[match(names(diverges), colnames(x))] <- ifelse(is.na(diverges), "either", ifelse(diverges > 0, "+inf", "-inf"))
  z <- coef / se
  right <- all.vars(formula[[3]])
  write_case(list(
    schema = 1L, id = id, title = title, tests = I(c("separation", tests)), kind = "separated",
    data = list(file = "data/odd.csv", n_rows = nrow(odd), source = "simulated",
                columns = describe_columns(odd, c(all.vars(formula[[2]]), right))),
    formula = paste(deparse(formula), collapse = " "), response = list(type = "column", column = all.vars(formula[[2]])),
    family = family$family, link = family$link, formula_py = py, family_params = NULL, weights = NULL, offset = NULL, cluster = NULL,
    contrasts = NULL,
    expect = list(
      separation = kind, coef_names = I(colnames(x)), diverges = I(sign), coef = I(unname(coef)), se = I(unname(se)),
      statistic = I(unname(z)), statistic_kind = "z", p_values = I(unname(2 * pnorm(-abs(z)))), rank = at_end$rank,
      deviance = deviance, null_deviance = at_end$null.deviance, loglik = loglik, nobs = length(y),
      rows_separated = sum(!kept), fitted = I(unname(fitted[1:10]))),
    r_warnings = if (length(heard)) I(unique(heard)) else NULL,
    notes = paste("Limits as the likelihood approaches its supremum: coef and se of the coefficients that stay finite, null for those that do not.",
                  "They are the fit to the rows that are not separated. r_warnings are those of glm() with epsilon 1e-14 and 60 steps."),
    reference = list(software = software)))
  message(id)
}

logistic <- fam("binomial", "logit")
loglinear <- fam("poisson", "log")

separated_case("separation_complete", "A line divides the zeros from the ones", "complete", "apart ~ x1 + x2", "x1 + x2", logistic,
               kept = rep(FALSE, nrow(odd)), merged = character(), diverges = c("(Intercept)" = NA, x1 = NA, x2 = NA), tests = "logit")
separated_case("separation_dummy", "One level of a factor has only ones", "quasi-complete", "all_c ~ x1 + f", "x1 + f", logistic,
               kept = odd$f != "c", merged = "fc", diverges = c(fc = 1), tests = c("logit", "factor"))
separated_case("separation_tie", "Zeros below 3, ones above 3, both at 3", "quasi-complete", "at_step ~ step + x1", "step + x1", logistic,
               kept = odd$step == 3, merged = "step", diverges = c("(Intercept)" = -1, step = 1), tests = "logit")
separated_case("separation_probit_dummy", "One level of a factor has only ones, probit", "quasi-complete", "all_c ~ x1 + f", "x1 + f",
               fam("binomial", "probit"), kept = odd$f != "c", merged = "fc", diverges = c(fc = 1), tests = c("probit", "factor"))
separated_case("separation_poisson_level", "One level of a factor has only zero counts", "quasi-complete", "none_c ~ x1 + f", "x1 + f",
               loglinear, kept = odd$f != "c", merged = "fc", diverges = c(fc = -1), tests = c("poisson", "factor"))
separated_case("separation_poisson_cell", "One cell of two factors has only zero counts", "quasi-complete", "none_bp ~ x1 + f * g", "x1 + f * g",
               loglinear, kept = !(odd$f == "b" & odd$g == "p"), merged = "fb:gq", diverges = c(fb = -1, "fb:gq" = 1),
               tests = c("poisson", "interaction"))
