# Negative binomial, Tweedie, quasi families, power links, more contrasts and bases.

small <- read_data("data/small.csv", ordered = list(dose = c("low", "mid", "high", "top")))
small_case <- function(...) case(..., data = small, file = "data/small.csv")
terms <- "x1 + x2 + x3 + f"

# ---- negative binomial, theta estimated -------------------------------------------------------------------------------

nb <- function(theta, link = "log")
  describe_family(negative.binomial(theta, link = link), "nb", link, known = TRUE, theta = theta)

# Coefficients and theta in turn, both to the floor; the start is glm.nb's.
fit_nb <- function(formula) function(frame) {
  y <- model.response(model.frame(formula, frame))
  theta <- glm.nb(formula, frame)$theta
  for (turn in 1:60) {
    fit <- polish(eval(as.call(list(quote(glm), formula = formula, family = nb(theta), data = quote(frame)))))
    mu <- fit$fitted.values
    before <- theta
    for (inner in 1:3) {
      slope <- sum(digamma(theta + y) - digamma(theta) + log(theta) + 1 - log(theta + mu) - (y + theta) / (mu + theta))
      theta <- theta + slope / theta_information(theta, y, mu)
    }
    if (abs(theta / before - 1) < 2e-15) break
  }
  if (abs(theta / before - 1) > 1e-13) stop("theta still moves")
  fit
}

theta_information <- function(theta, y, mu)
  sum(trigamma(theta) - trigamma(theta + y) - 1 / theta + 2 / (mu + theta) - (y + theta) / (mu + theta)^2)

# theta, its errors given the coefficients (as MASS), and the joint observed information of coefficients and theta (log link).
add_theta <- function(expect, fit) {
  theta <- fit$family$reference$theta
  y <- fit$y
  mu <- fit$fitted.values
  x <- model.matrix(fit)
  k <- ncol(x)
  joint <- matrix(0, k + 1, k + 1)
  joint[1:k, 1:k] <- crossprod(x, x * theta * mu * (y + theta) / (mu + theta)^2)
  joint[k + 1, 1:k] <- joint[1:k, k + 1] <- -crossprod(x, mu * (y - mu) / (mu + theta)^2)
  joint[k + 1, k + 1] <- theta_information(theta, y, mu)
  both <- sqrt(diag(solve_spd(joint)))
  expect[c("loglik", "loglik_df", "aic", "bic")] <- local({
    size <- k + 1
    list(expect$loglik, size, -2 * expect$loglik + 2 * size, -2 * expect$loglik + log(length(y)) * size)
  })
  names(expect)[names(expect) == "se_observed_information"] <- "se_observed_information_given_theta"
  theta_se <- 1 / sqrt(joint[k + 1, k + 1])
  c(expect, list(
    theta = theta, theta_se = theta_se, alpha = 1 / theta, alpha_se = theta_se / theta^2, twologlik = 2 * expect$loglik,
    joint_observed = list(se = I(both[1:k]), theta_se = both[k + 1], alpha_se = both[k + 1] / theta^2)))
}

nb_notes <- paste("se, theta_se and alpha_se (delta method) are MASS's: expected information for the coefficients, observed for theta, no covariance.",
                  "joint_observed holds the errors from the joint observed information, derived analytically.")
nb_case <- function(id, title, formula, py, ...) case(
  id, title, formula, py, nb(1), tests = "negative binomial, theta estimated", family_name = "negative.binomial", notes = nb_notes,
  fitter = fit_nb(as.formula(formula, env = globalenv())), change = add_theta, ...)

nb_case("nb_quine", "Days away from school", "Days ~ Eth + Sex + Age + Lrn", "Eth + Sex + Age + Lrn",
        data = read_data("data/quine.csv"), file = "data/quine.csv", source = "R package MASS, data set quine")
medpar <- read_data("../shared/data/medpar.csv")
medpar$type <- factor(medpar$type)
nb_case("nb_medpar", "Length of hospital stay", "los ~ hmo + white + type", "hmo + white + type",
        data = medpar, file = "../shared/data/medpar.csv", source = "data set medpar of COUNT, as in the shared cases")

# ---- negative binomial, theta given -----------------------------------------------------------------------------------

for (link in c("log", "sqrt", "identity"))
  small_case(id = paste0("nb_given_", link), title = paste("Negative binomial with theta = 2,", link, "link"),
             tests = c("negative binomial, theta given", link), formula = paste("count ~", terms), py = terms, family = nb(2, link),
             family_name = "negative.binomial", params = list(theta = 2, alpha = 0.5),
             start = c(nb(2, link)$linkfun(mean(small$count)), rep(0, 5)), notes = "loglik_df does not count theta")

# ---- Tweedie ----------------------------------------------------------------------------------------------------------

# Density of a Poisson number of gamma amounts, summed over the number.
tweedie_loglik <- function(y, mu, phi, power) {
  rate <- mu^(2 - power) / (phi * (2 - power))
  number <- 1:400
  sum(ifelse(y == 0, -rate, mapply(function(y, rate, scale) {
    parts <- dpois(number, rate, log = TRUE) + dgamma(y, number * (2 - power) / (power - 1), scale = scale, log = TRUE)
    max(parts) + log(sum(exp(parts - max(parts))))
  }, pmax(y, 1e-300), rate, phi * (power - 1) * mu^(power - 1))))
}

for (p in c(1.2, 1.5, 1.8)) {
  family <- describe_family(tweedie(var.power = p, link.power = 0), "tweedie", "log", likelihood = FALSE, power = p)
  small_case(id = sprintf("tweedie_%.0f", 10 * p), title = paste("Tweedie with variance power", p), tests = c("tweedie", "log"),
             formula = paste("claims ~", terms), py = terms, family = family, family_name = "tweedie",
             params = list(power = p),
             notes = paste("loglik is null, as in R. loglik_at_dispersion is the log-likelihood with the Pearson dispersion,",
                           "from the density as a sum over the Poisson number of gamma amounts."),
             change = function(expect, fit) {
               expect$loglik_at_dispersion <- tweedie_loglik(fit$y, fit$fitted.values, expect$dispersion, fit$family$reference$power)
               expect
             })
}

# ---- quasi families ---------------------------------------------------------------------------------------------------

quasi_case <- function(id, title, formula, family, variance, ...) small_case(
  id = id, title = title, tests = "quasi", formula = formula, py = terms,
  family = describe_family(family, variance, likelihood = FALSE, ...), notes = "no likelihood; dispersion is Pearson X2 / df",
  params = if (family$family == "quasi") list(variance = family$varfun))

quasi_case("quasi_mu2", "Quasi-likelihood with variance mu^2, log link", paste("cost ~", terms), quasi(link = "log", variance = "mu^2"), "mu2")
quasi_case("quasi_mu3", "Quasi-likelihood with variance mu^3, log link", paste("time ~", terms), quasi(link = "log", variance = "mu^3"), "mu3")
quasi_case("quasipoisson", "Quasi-Poisson", paste("events ~", terms), quasipoisson(), "mu", canonical = TRUE)
quasi_case("quasibinomial_counts", "Quasi-binomial, counts", paste("cbind(success, failure) ~", terms), quasibinomial(), "binomial", canonical = TRUE)
quasi_case("quasibinomial_fractions", "Quasi-binomial, fractions", paste("fraction ~", terms), quasibinomial(), "binomial", canonical = TRUE)

# ---- power links ------------------------------------------------------------------------------------------------------

power_case <- function(id, family, response, link_power) small_case(
  id = id, title = sprintf("%s with link mu^%.3g", family, link_power), tests = c(family, "power link"),
  formula = paste(response, "~", terms), py = terms, family = fam(family, "power", link_power = link_power),
  params = list(link_power = link_power), start = c(mean(small[[response]])^link_power, rep(0, 5)))

power_case("power_gamma_third", "Gamma", "cost", 1 / 3)
power_case("power_poisson_half", "poisson", "count", 0.5)
power_case("power_gaussian_half", "gaussian", "level", 0.5)

# ---- more formulas ----------------------------------------------------------------------------------------------------

normal <- fam("gaussian", "identity")
counts <- fam("poisson", "log")
binary <- fam("binomial", "logit")

small_case(id = "formula_ordered", title = "Ordered factor: polynomial contrasts", tests = "contr.poly", formula = "level ~ x1 + dose",
           py = "x1 + C(dose, Poly)", family = normal)
small_case(id = "formula_helmert", title = "Helmert contrasts", tests = "contr.helmert", formula = "level ~ x1 + C(f, contr.helmert)",
           py = "x1 + C(f, Helmert)", family = normal)
small_case(id = "formula_ns", title = "Natural splines", tests = "ns", formula = "count ~ ns(x2, df = 4) + f",
           py = "ns(x2, df=4) + f", family = counts)
small_case(id = "formula_bs_knots", title = "B-splines with given knots", tests = "bs", formula = "level ~ bs(x2, knots = c(1, 2)) + x1",
           py = "bs(x2, knots=[1, 2]) + x1", family = normal)
small_case(id = "formula_poly_raw", title = "Raw polynomial", tests = "poly", formula = "cost ~ poly(x2, 3, raw = TRUE) + f",
           py = "poly(x2, 3, raw=True) + f", family = fam("Gamma", "log"))
small_case(id = "formula_cut", title = "A number cut into classes", tests = "cut", formula = "count ~ cut(x2, c(0, 1, 2, 3)) + x1",
           py = "cut(x2, [0, 1, 2, 3]) + x1", family = counts)
small_case(id = "formula_three_way", title = "Three-way interaction", tests = "interaction", formula = "level ~ f * g * x1",
           py = "f * g * x1", family = normal)
small_case(id = "formula_slopes_only", title = "A slope for each level, no main effect of the number", tests = "interaction",
           formula = "yes ~ f + x1:f", py = "f + x1:f", family = binary)
small_case(id = "formula_interaction_only", title = "A slope for each level, one intercept", tests = "interaction",
           formula = "yes ~ x1:f", py = "x1:f", family = binary)
