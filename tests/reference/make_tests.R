# Tests of hypotheses: anova, drop1, car::Anova, car::linearHypothesis, lmtest::lrtest. Run from the root of the
# repository:
#   Rscript tests/reference/make_tests.R
# MASS has no tables for one negative binomial model that estimate theta anew in every submodel; those here come from
# glm.nb fits and their logLik. Its score statistics take the weighted residuals of the smaller glm.nb fit.

suppressPackageStartupMessages({library(MASS); library(car); library(lmtest); library(jsonlite)})
options(warn = 1)
control <- glm.control(epsilon = 1e-14, maxit = 100)
read <- function(name) {
  data <- read.csv(file.path("tests/reference/shared/data", paste0(name, ".csv")))
  for (column in intersect(c("type", "year", "period", "region", "grades", "sex", "Species", "foreign", "female"),
                           names(data))) data[[column]] <- factor(data[[column]])
  if ("sex" %in% names(data)) data$sex <- relevel(data$sex, "Male")
  data
}
column <- function(table, names) {
  found <- intersect(names, colnames(table))
  if (length(found)) unname(unlist(table[, found[1]])) else rep(NA, nrow(table))
}
figures <- function(table) {
  list(rows = rownames(table), df = column(table, "Df"), deviance = column(table, c("Deviance", "Sum Sq")),
       df_resid = column(table, c("Resid. Df", "Res.Df")), resid_deviance = column(table, "Resid. Dev"),
       aic = column(table, "AIC"), statistic = column(table, c("LRT", "scaled dev.", "Rao score", "scaled Rao sc.",
       "F value", "F", "LR Chisq", "Chisq", "Rao", "Deviance")), p_value = column(table, grep("^Pr", colnames(table), value = TRUE)))
}
quiet <- function(value) suppressWarnings(value)

case <- function(data, formula, family, small, hypothesis, ours, added = NULL, offset = NULL, weights = NULL) {
  frame <- read(data)
  frame$offset_ <- if (is.null(offset)) rep(0, nrow(frame)) else frame[[offset]]
  frame$weights_ <- if (is.null(weights)) rep(1, nrow(frame)) else frame[[weights]]
  make <- function(f) glm(f, family, frame, weights = weights_, offset = offset_, control = control, x = TRUE)
  environment(formula) <- environment(small) <- environment()
  fit <- make(formula); less <- make(small)
  phi <- summary(fit)$dispersion
  known <- phi == 1
  tests <- c("Chisq", if (!known) "F", "Rao")
  tables <- list()
  for (test in tests) {
    one <- figures(quiet(anova(fit, test = test)))
    # R prints Rao and the deviance without their division by the dispersion.
    if (test == "Chisq") one$statistic <- one$deviance / phi
    several <- figures(quiet(anova(less, fit, test = test)))
    if (test == "Chisq") several$statistic <- several$deviance / phi
    if (test == "Rao") several$statistic <- quiet(anova(less, fit, test = test))$Rao / phi
    if (test == "Rao") one$statistic <- quiet(anova(fit, test = test))$Rao / phi
    dropped <- figures(drop1(fit, test = test))
    if (test == "Rao" && !attr(terms(fit), "intercept")) {
      # R 4.2 takes the working residuals around their mean here, as if the model had an intercept.
      for (i in seq_along(dropped$rows)[-1]) {
        small_i <- make(update(formula, paste("~ . -", dropped$rows[i])))
        z <- lm.wfit(fit$x, small_i$residuals, small_i$weights)
        amount <- sum(small_i$weights * small_i$residuals^2) - sum(small_i$weights * z$residuals^2)
        dropped$statistic[i] <- amount / phi
        dropped$p_value[i] <- pchisq(amount / phi, dropped$df[i], lower.tail = FALSE)
      }
    }
    tables[[test]] <- list(anova = one, compare = several, drop1 = dropped)
    if (test != "Rao") {
      second <- figures(Anova(fit, type = 2, test.statistic = c(Chisq = "LR", F = "F")[[test]]))
      tables[[test]]$type2 <- lapply(second, function(x) x[second$rows != "Residuals"])
      if (!length(tables[[test]]$type2$rows)) stop("no rows")
    }
  }
  wald <- function(test) { t <- linearHypothesis(fit, hypothesis, test = test)
    list(statistic = t[2, test], df = t[2, "Df"], p_value = t[2, ncol(t)]) }
  likelihood <- if (!is.na(logLik(fit))) { t <- lrtest(less, fit); list(statistic = t$Chisq[2], df = t$Df[2], p_value = t[2, 5]) }
  score <- NULL
  if (!is.null(added)) {
    wide <- make(update(small, paste("~ . +", added)))
    z <- glm(less$residuals ~ wide$x - 1, weights = less$weights)
    amount <- sum(less$weights * less$residuals^2) - deviance(z)
    score <- list(statistic = amount / summary(less)$dispersion, df = wide$rank - less$rank)
    score$p_value <- pchisq(score$statistic, score$df, lower.tail = FALSE)
  }
  c(list(data = data, offset = offset, var_weights = weights), ours,
    list(tables = tables, wald = list(Chisq = wald("Chisq"), F = wald("F")), lr = likelihood, score = score))
}

nb <- function(data, formula, small, ours) {
  # One row in two, which is enough.
  frame <- read(data)
  frame <- frame[seq(1, nrow(frame), by = 2), ]
  fit <- function(f) glm.nb(f, frame, control = control, init.theta = 2)
  terms <- attr(terms(formula), "term.labels")
  by <- function(labels) fit(reformulate(if (length(labels)) labels else "1", formula[[2]]))
  whole <- by(terms)
  chain <- lapply(0:length(terms), function(i) by(terms[seq_len(i)]))
  values <- sapply(chain, function(m) -2 * c(logLik(m)))
  ranks <- sapply(chain, function(m) m$rank)
  less <- fit(small)
  without <- lapply(terms, function(t) by(setdiff(terms, t)))
  lost <- sapply(without, function(m) -2 * c(logLik(m)) + 2 * c(logLik(whole)))
  dfs <- sapply(without, function(m) whole$rank - m$rank)
  score <- function(small, large) {
    z <- lm.wfit(model.matrix(large), small$residuals, small$weights)
    sum(small$weights * small$residuals^2) - sum(small$weights * z$residuals^2)
  }
  table <- function(df, statistic) list(df = df, statistic = statistic, p_value = pchisq(statistic, df, lower.tail = FALSE))
  several <- anova(less, whole)
  lr <- lrtest(less, whole)
  rao <- sapply(seq_along(terms), function(i) score(chain[[i]], chain[[i + 1]]))
  c(list(data = data, every = 2), ours, list(
    anova = c(list(resid_deviance = values, df_resid = sapply(chain, df.residual)), table(diff(ranks), -diff(values))),
    rao = table(diff(ranks), rao), drop1 = c(list(aic = c(AIC(whole), sapply(without, AIC))), table(dfs, lost)),
    compare = list(df = several[2, 6], statistic = several[2, 7], p_value = several[2, 8]),
    lr = list(statistic = lr$Chisq[2], df = lr$Df[2], p_value = lr[2, 5]),
    score = table(whole$rank - less$rank, score(less, whole))))
}

cases <- list(
  logit = case("womensrole", cbind(agree, disagree) ~ sex * education, binomial, cbind(agree, disagree) ~ sex,
               c("sexFemale = 2*education", "sexFemale:education = 0.1"), added = "education",
               ours = list(formula = "cbind(agree, disagree) ~ C(sex, Treatment('Male')) * education",
                           family = "binomial", small = "cbind(agree, disagree) ~ C(sex, Treatment('Male'))",
                           added = "education",
                           hypothesis = paste("C(sex, Treatment('Male'))[T.Female] = 2*education,",
                                              "C(sex, Treatment('Male'))[T.Female]:education = 0.1"))),
  probit = case("swisslabor", works ~ income + age + I(age^2) + education + youngkids + foreign, binomial("probit"),
                works ~ income + education + foreign, "age + I(age^2) = 0",
                added = "age + I(age^2)",
                ours = list(formula = "works ~ income + age + I(age**2) + education + youngkids + foreign",
                            family = "binomial", link = "probit", small = "works ~ income + education + foreign",
                            added = "+ age + I(age**2)", hypothesis = "age + I(age**2)")),
  cloglog = case("snails", cbind(dead, alive) ~ Species * temp + humidity, binomial("cloglog"),
                 cbind(dead, alive) ~ Species + temp, c("SpeciesB:temp = 0", "humidity = -0.1"), offset = "log_exposure",
                 added = "humidity + Species:temp",
                 ours = list(formula = "cbind(dead, alive) ~ Species * temp + humidity", family = "binomial",
                             link = "cloglog", small = "cbind(dead, alive) ~ Species + temp",
                             added = "humidity + Species:temp",
                             hypothesis = "Species[T.B]:temp = 0, humidity = -0.1")),
  poisson = case("ships", incidents ~ type + year + period, poisson, incidents ~ type + year,
                 c("typeB = typeC", "year65 = year70", "period75 = 0"), offset = "log_service", added = "period",
                 ours = list(formula = "incidents ~ type + C(year) + C(period)", family = "poisson",
                             small = "incidents ~ type + C(year)", added = "C(period)",
                             hypothesis = "type[T.B] = type[T.C], C(year)[T.65] - C(year)[T.70], C(period)[T.75]")),
  quasipoisson = case("ships", incidents ~ type + year + period, quasipoisson, incidents ~ type + year,
                      c("typeB = typeC", "period75 = 0.1"), offset = "log_service", added = "period",
                      ours = list(formula = "incidents ~ type + C(year) + C(period)", family = "quasipoisson",
                                  small = "incidents ~ type + C(year)", added = "C(period)",
                                  hypothesis = "type[T.B] = type[T.C], C(period)[T.75] = 0.1")),
  gamma_log = case("wage1", wage ~ female * educ + exper + I(exper^2) + tenure + region, Gamma("log"),
                   wage ~ female + educ + exper + I(exper^2) + tenure, c("regionnorth = regionsouth", "exper = 0.03"),
                   added = "region + female:educ",
                   ours = list(formula = "wage ~ female * educ + exper + I(exper**2) + tenure + region", family = "gamma",
                               link = "log", small = "wage ~ female + educ + exper + I(exper**2) + tenure",
                               added = "region + female:educ",
                               hypothesis = "region[T.north] = region[T.south], exper = 0.03")),
  gamma_inverse = case("wage1", wage ~ educ + female + region, Gamma, wage ~ educ + female, "educ = -0.01",
                       added = "region",
                       ours = list(formula = "wage ~ educ + female + region", family = "gamma",
                                   small = "wage ~ educ + female", added = "region", hypothesis = "educ = -0.01")),
  inverse_gaussian = case("trees", Volume ~ log(Girth) + log(Height), inverse.gaussian("log"), Volume ~ log(Girth),
                          "log(Girth) = 2*log(Height)", added = "log(Height)",
                          ours = list(formula = "Volume ~ log(Girth) + log(Height)", family = "inverse_gaussian",
                                      link = "log", small = "Volume ~ log(Girth)", added = "log(Height)",
                                      hypothesis = "log(Girth) = 2*log(Height)")),
  gaussian = case("caschools", read ~ str * grades + english + lunch, gaussian, read ~ str + grades + lunch,
                  c("str + english = -1", "lunch = -0.5"), weights = "students", added = "english + str:grades",
                  ours = list(formula = "read ~ str * grades + english + lunch", family = "gaussian",
                              small = "read ~ str + grades + lunch", added = "english + str:grades",
                              hypothesis = "str + english = -1, lunch = -0.5")),
  no_intercept = case("wage1", wage ~ 0 + region + educ, Gamma("log"), wage ~ 0 + region, "regioneast = regionnorth",
                      added = "educ",
                      ours = list(formula = "wage ~ 0 + region + educ", family = "gamma", link = "log",
                                  small = "wage ~ 0 + region", added = "educ",
                                  hypothesis = "region[east] = region[north]"))
)
negative_binomial <- nb("medpar", los ~ hmo + white + type, los ~ hmo,
                        list(formula = "los ~ hmo + white + C(type)", family = "negative_binomial", small = "los ~ hmo",
                             added = "white + C(type)"))
write_json(list(r_version = R.version.string, cases = cases, negative_binomial = negative_binomial),
           "tests/reference/inference/tests/tests.json", digits = NA, auto_unbox = TRUE, na = "null", pretty = TRUE)
