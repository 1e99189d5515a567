"use strict";
const form = document.getElementById("payment");
const say = (text) => { document.getElementById("message").textContent = text; };
const facts = form.dataset;

async function begin() {
  const answer = await fetch("/pay", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify({ userId: facts.user, eventId: facts.event, amount: facts.amount, bookingId: facts.booking }),
  });
  const payment = await answer.json();
  if (!answer.ok) throw new Error(payment.detail || payment.title);
  const stripe = Stripe(payment.publishableKey);
  const elements = stripe.elements({ clientSecret: payment.clientSecret });
  elements.create("payment").mount("#element");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("");
    const done = await stripe.confirmPayment({
      elements,
      confirmParams: { return_url: `${location.origin}/booking/${facts.booking}/paid` },
    });
    delete form.dataset.sent;
    if (done.error) say(done.error.message);
  });
}
begin().catch((error) => say(error.message));
