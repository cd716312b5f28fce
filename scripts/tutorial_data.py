"""Write the files that the tutorials start from: synthetic, seeded, small enough to read.

    python scripts/tutorial_data.py

`tickets.csv`: tickets of an electronics shop, with channel, product and topic. `questions.csv` and `handbook.csv`:
questions about a library, and the documents with the answers.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials" / "data"
SEED = 20261127

PRODUCTS = ("headphones", "kettle", "e-reader", "router", "speaker", "vacuum cleaner", "webcam", "toothbrush")
CHANNELS = ("email", "chat", "app")
TOPICS = {
    "delivery": (
        "My {product} should have been here {n} days ago and the tracking page has not moved.",
        "Where is my parcel? I ordered the {product} {n} days ago.",
        "The courier says the {product} was left with a neighbour, but nobody has it.",
        "Can the {product} be sent to my office instead? It has not shipped yet.",
        "Only half of the order arrived: the {product} is missing from the box.",
        "Do you ship the {product} to Norway, and how long does it take?",
        "I was at home all day and the driver still marked the {product} as undeliverable.",
        "The parcel with the {product} came back to you as undeliverable. Please send it again.",
        "Which courier brings the {product}, and can I pick the day?",
        "You delivered the {product} to my old address.",
        "The box of the {product} arrived torn open and half of the padding is gone.",
        "My {product} has been in customs for {n} days.",
    ),
    "refund": (
        "I sent the {product} back {n} days ago and I am still waiting for my money.",
        "I changed my mind about the {product}. How do I return it?",
        "You refunded the {product} without the shipping fee. I would like that back too.",
        "The {product} is smaller than I thought; I want to give it back.",
        "My return label for the {product} has expired, please send another one.",
        "The {product} was a present and I'd rather have the money.",
        "It says my return of the {product} is complete, yet nothing is on my card.",
        "I returned the {product} in the shop. When do I get the money?",
        "Please cancel my return of the {product}, I am keeping it.",
        "I only got store credit for the {product} and want it on my card.",
        "How many days do I have to send the {product} back?",
        "I paid for the {product} with a gift card. Where does the money go when I return it?",
    ),
    "warranty": (
        "The {product} stopped working after {n} weeks. Is that covered?",
        "My {product} makes a burning smell when I turn it on.",
        "One side of the {product} is dead. Can you repair it?",
        "The screen of the {product} went black {n} days after I bought it.",
        "The {product} no longer charges. I would like a repair or a replacement.",
        "I dropped nothing and spilled nothing, the {product} just died.",
        "The button of the {product} has come off after {n} weeks.",
        "The {product} makes a grinding noise since last week.",
        "The repaired {product} came back with the same fault.",
        "How long is the guarantee on the {product}?",
        "The {product} switches itself off after {n} minutes.",
        "Water got into the {product} although it is sold as waterproof.",
    ),
    "billing": (
        "I was charged twice for the {product}.",
        "Please send me an invoice for the {product} with our VAT number.",
        "The price of the {product} on my card statement is {n} dollars higher than in the shop.",
        "My voucher of {n} dollars was not taken off when I paid for the {product}.",
        "Can I pay for the {product} in instalments?",
        "The receipt for the {product} has the wrong company name.",
        "I cancelled the {product} before it shipped, and you still took the payment.",
        "Why is there a fee of {n} dollars on my order of the {product}?",
        "I paid for the {product} by bank transfer and the order still says unpaid.",
        "The sale price of the {product} was not applied at the checkout.",
        "My card was declined for the {product} but the amount is blocked.",
        "I need a corrected invoice for the {product}: the tax is wrong.",
    ),
    "account": (
        "I cannot log in to see my order of the {product}; the reset email never comes.",
        "Please change the email address of my account, I use it to register the {product}.",
        "Somebody else's {product} shows up in my order history.",
        "How do I delete my profile? I only wanted to buy a {product}.",
        "The app signs me out every time I open the page of the {product}.",
        "My account was locked after {n} attempts to buy the {product}.",
        "I have two accounts since I registered the {product}. Can you merge them?",
        "I no longer have the phone number for the login code and cannot reach my {product} order.",
        "Please stop the newsletter about the {product}.",
        "I want a copy of all data you hold about me and my {product}.",
        "My new password is refused when I try to register the {product}.",
        "How do I change the name on my profile? I registered the {product} under my maiden name.",
    ),
    "advice": (
        "Does the {product} work with an adapter for 110 volts?",
        "What is the difference between the {product} and last year's model?",
        "Is the {product} quiet enough for a bedroom?",
        "Which spare parts fit the {product}?",
        "Would you recommend the {product} for a household of {n}?",
        "Can I use the {product} without the app?",
        "How do I clean the {product} without damaging it?",
        "How loud is the {product} in decibels?",
        "Is there a manual for the {product} in Spanish?",
        "Which {product} do you suggest for a left-handed person?",
        "Does the {product} come with a carrying case?",
        "Can two people use the {product} at the same time?",
    ),
}
CLOSINGS = ("", "", "", " Thanks!", " Order number {order}.", " This is my second message.", " Please hurry.")

FACTS = (  # title and text of a document, a question, its answer
    (
        "Opening hours",
        "The main library opens at 9:30 on weekdays.",
        "When does the main library open on weekdays?",
        "9:30",
    ),
    ("Sundays", "On Sundays only the reading cafe is open.", "What is open on Sundays?", "reading cafe"),
    ("Book loans", "Books may be kept for 28 days.", "How long may I keep a book?", "28 days"),
    ("Film loans", "DVDs may be kept for 7 days.", "How long may I keep a DVD?", "7 days"),
    ("Renewals", "A loan can be renewed 3 times.", "How often can I renew a loan?", "3 times"),
    ("Late fees", "A late book costs $0.20 a day.", "What does a late book cost a day?", "$0.20"),
    ("Lost card", "A new card costs $5.", "What does a new card cost?", "$5"),
    ("Membership", "Membership for adults costs $18 a year.", "What does membership cost an adult a year?", "$18"),
    ("Children", "Children under 14 join for free.", "Up to which age do children join for free?", "14"),
    (
        "Reservations",
        "A reserved book waits at the desk for 6 days.",
        "How long does a reserved book wait for me?",
        "6 days",
    ),
    ("Printing", "A printed page costs $0.15.", "What does it cost to print a page?", "$0.15"),
    ("Scanner", "The scanner stands next to the stairs.", "Where is the scanner?", "next to the stairs"),
    ("Wi-Fi", "The name of the wireless network is OpenShelf.", "What is the wireless network called?", "OpenShelf"),
    ("Computers", "A computer can be booked for 90 minutes.", "How long can I book a computer?", "90 minutes"),
    ("Study rooms", "A study room seats 4 people.", "How many people fit in a study room?", "4"),
    ("Lockers", "Lockers take a 2 dollar coin.", "Which coin do the lockers take?", "2 dollar coin"),
    (
        "Bicycles",
        "Bicycles are parked behind the garden wall.",
        "Where do I park my bicycle?",
        "behind the garden wall",
    ),
    ("Parking", "Parking is free for 2 hours.", "How long can I park for free?", "2 hours"),
    ("Dogs", "Dogs wait at the east door.", "Where do dogs wait?", "at the east door"),
    ("Story time", "Story time is on Wednesday.", "On which day is story time?", "Wednesday"),
    ("Chess club", "The chess club meets in the attic.", "Where does the chess club meet?", "in the attic"),
    (
        "Repair cafe",
        "The repair cafe is on the first Saturday of the month.",
        "When is the repair cafe?",
        "first Saturday of the month",
    ),
    (
        "Local history",
        "Mrs Okafor looks after the local history collection.",
        "Who looks after the local history collection?",
        "Mrs Okafor",
    ),
    ("Newspapers", "Newspapers are kept for 5 years.", "How long are newspapers kept?", "5 years"),
    ("Maps", "The maps are on the third floor.", "On which floor are the maps?", "third floor"),
    ("Sheet music", "Sheet music is on the second floor.", "On which floor is the sheet music?", "second floor"),
    ("Interlibrary loan", "An interlibrary loan costs $4.", "What does an interlibrary loan cost?", "$4"),
    ("Book sale", "The book sale is in October.", "In which month is the book sale?", "October"),
    ("Donations", "Donations are accepted on Mondays.", "On which day are donations accepted?", "Mondays"),
    ("Mobile library", "The book bus stops at Mill Lane.", "Where does the book bus stop?", "Mill Lane"),
    ("Instruments", "The library lends ukuleles.", "Which instrument does the library lend?", "ukuleles"),
    ("Seeds", "Each visitor may take 3 bags of seeds.", "How many bags of seeds may I take?", "3"),
    ("E-books", "Up to 10 e-books can be borrowed at once.", "How many e-books can I borrow at once?", "10"),
    (
        "Language cafe",
        "The language cafe practises Portuguese.",
        "Which language does the language cafe practise?",
        "Portuguese",
    ),
    ("Exhibition", "The exhibition shows paper boats.", "What does the exhibition show?", "paper boats"),
    ("Cafe", "The cafe closes at 16:00.", "When does the cafe close?", "16:00"),
    ("Lost property", "Lost property is kept for 30 days.", "How long is lost property kept?", "30 days"),
    ("Fire drill", "The meeting point in a fire is the fountain.", "Where is the meeting point in a fire?", "fountain"),
    ("Head librarian", "The head librarian is Tomas Lindqvist.", "Who is the head librarian?", "Tomas Lindqvist"),
    ("Founding", "The library was founded in 1894.", "When was the library founded?", "1894"),
    ("Garden", "The oldest tree in the garden is a mulberry.", "What is the oldest tree in the garden?", "mulberry"),
    ("Archive", "The archive is open by appointment on Thursday.", "On which day is the archive open?", "Thursday"),
    ("Volunteers", "Volunteers work 4 hours a week.", "How many hours a week do volunteers work?", "4 hours"),
    ("Meeting hall", "The meeting hall costs $60 an evening.", "What does the meeting hall cost an evening?", "$60"),
    ("Microfilm", "The microfilm reader is in room B12.", "In which room is the microfilm reader?", "B12"),
    ("Summer reading", "The prize for summer reading is a kite.", "What is the prize for summer reading?", "kite"),
    ("Homework help", "Homework help is given by Ms Adeyemi.", "Who gives homework help?", "Ms Adeyemi"),
    ("Toilets", "The toilets are beside the lift.", "Where are the toilets?", "beside the lift"),
    ("Lift", "The lift carries 8 people.", "How many people does the lift carry?", "8"),
    ("Puppets", "The puppet theatre plays in the cellar.", "Where does the puppet theatre play?", "in the cellar"),
)


def tickets(dice: random.Random) -> Iterable[tuple[str, ...]]:
    """Channel, product, issue, ticket and topic; every issue is reported for three products."""
    rows = []
    for topic, sentences in TOPICS.items():
        for number, sentence in enumerate(sentences, start=1):
            for product in dice.sample(PRODUCTS, 3):
                text = (sentence + dice.choice(CLOSINGS)).format(
                    product=product, n=dice.randint(3, 20), order=dice.randint(10_000, 99_999)
                )
                rows.append((dice.choice(CHANNELS), product, f"{topic[:2].upper()}-{number}", text, topic))
    dice.shuffle(rows)
    return rows


def write(name: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Write a CSV file."""
    with (FOLDER / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])


def main() -> None:
    """Write the three files."""
    dice = random.Random(SEED)  # noqa: S311 - a seeded draw is wanted
    write("tickets.csv", ("channel", "product", "issue", "ticket", "topic"), tickets(dice))
    write("handbook.csv", ("title", "text"), [(title, text) for title, text, *_ in FACTS])
    asked = [(question, answer) for *_, question, answer in FACTS]
    dice.shuffle(asked)
    write("questions.csv", ("question", "answer"), asked)


if __name__ == "__main__":
    main()
